"""Takes in articles: who may change what, and when an encoder reads them."""
