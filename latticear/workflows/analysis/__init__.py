"""The analysis of a scan: crossings, data collapse and maxima, a table, figures and a file."""
