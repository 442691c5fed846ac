"""Data sets: found, read with care, ordered, augmented; what is random is a function of (seed, epoch, index)."""
