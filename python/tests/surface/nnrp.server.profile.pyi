from nnrp.server import ServerProfile
