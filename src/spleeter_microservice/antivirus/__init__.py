"""Virus scanning with ClamAV."""
