"""Models of Hugging Face's `transformers`: folders with a `config.json`, and the official files of SAM 2."""
