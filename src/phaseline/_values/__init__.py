"""Python values on their way to stored text and back: their types, what they lose, and texts of others."""
