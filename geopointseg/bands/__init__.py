"""Which numbers a scene has: band names and formulas, and how files become scenes."""
