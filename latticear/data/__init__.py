"""Reading and writing of configurations on disk, with their conditions, couplings and provenance."""

from latticear.data.couplings import read_couplings
from latticear.data.loading import ConversionNote, load_configurations
from latticear.data.pictures import glyphs
from latticear.data.reading import read_batches, read_condition, read_given, read_metadata
from latticear.data.writing import SampleWriter

__all__ = [
    "ConversionNote",
    "SampleWriter",
    "glyphs",
    "load_configurations",
    "read_batches",
    "read_condition",
    "read_couplings",
    "read_given",
    "read_metadata",
]
