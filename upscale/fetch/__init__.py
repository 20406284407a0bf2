"""What an INGEST.yaml lacks, planned, downloaded and verified."""
