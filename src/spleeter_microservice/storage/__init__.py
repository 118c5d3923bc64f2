"""The object store: where inputs and stems are kept, behind one small interface."""
