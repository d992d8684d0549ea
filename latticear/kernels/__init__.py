"""The compiled kernels: C sources, built when the package is installed, and the module that loads them."""
