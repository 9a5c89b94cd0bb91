"""Past runs and what is learnt from them."""
