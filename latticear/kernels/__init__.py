"""The compiled kernels: C sources, built when the package is installed, their mirror, and what loads them."""
