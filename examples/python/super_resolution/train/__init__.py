"""How the committed model was made."""
