"""De-identify directory trees of DICOM files by rules."""

__version__ = "0.1.0"
