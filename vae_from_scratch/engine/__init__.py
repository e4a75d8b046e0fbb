"""What a reader need not open: refusals, files, checkpoints, threads, the table that feeds the gradient checks."""
