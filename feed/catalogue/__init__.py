"""Takes in articles: decides who may change what, and when a text is encoded."""
