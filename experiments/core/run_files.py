"""Name the files in the folder of a run."""

RECORD = "record.json"
RANKS = "ranks.npz"
MODEL = "model.pt"
CHECKPOINT = "checkpoint.pt"  # of a training that has not ended
FAILURE = "failure.json"
