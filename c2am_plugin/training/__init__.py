"""What the training of all networks shares: batches, initial weights, steps, the loop, the log."""
