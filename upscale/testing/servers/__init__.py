"""Servers on loopback for tests: CDS, CMR, HTTP, S3 and STAC."""
