"""What an INGEST.yaml lacks: planned, listed by its sources, downloaded, verified and recorded."""
