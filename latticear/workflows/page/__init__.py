"""The pages of runs and scans: each one HTML file with its figures inside, which needs nothing else."""
