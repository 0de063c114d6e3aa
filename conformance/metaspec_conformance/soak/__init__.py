"""Very many drawn scenarios on several backends: the evidence for the error model."""
