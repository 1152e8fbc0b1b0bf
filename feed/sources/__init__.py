"""Polls feeds and keeps the catalogue up to date with them."""
