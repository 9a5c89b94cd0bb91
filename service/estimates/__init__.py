"""What a run would need before anything is spent: time, memory, money, and whether it fits."""
