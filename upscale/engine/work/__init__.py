"""What a worker does with one work item: from the drivers of a tile to its shards and its entry."""
