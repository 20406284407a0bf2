"""Import of weights that were trained with the released TAM-RL code."""
