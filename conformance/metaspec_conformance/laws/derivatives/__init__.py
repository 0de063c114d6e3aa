"""Laws of derivatives: the forms agree with one another, at kinks and in the last digits of every function."""
