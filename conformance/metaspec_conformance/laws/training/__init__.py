"""Laws of meta-training and of the task sources that it reads."""
