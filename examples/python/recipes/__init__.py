"""Servers for the usual ways to run a model; docs/recipes.md explains them."""
