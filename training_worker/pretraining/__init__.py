"""How a base model of our own is made: corpus, tokenizer, training, model card."""
