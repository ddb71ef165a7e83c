"""What references and packages mean that say nothing of it: there was no other when they were written."""

#: The trainer, and the format of the model file.
FIRST_TRAINER, FIRST_FORMAT = "xgboost", "ubj"
