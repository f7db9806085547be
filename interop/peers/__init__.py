"""The two ends. One source for both packages: code written for rc2 must run on ours unchanged.

The few places where the packages differ, because rc2 lacks a method or fails in it, are in ``dialect``.
"""
