"""The independent leak check: outputs are compared with their inputs by pydicom and by their raw bytes."""
