"""Networks trained by consensus."""
