"""Kinds of entries in the ledger: the one list of them."""

#: What a gate said of a content, and that a person let it pass.
VERDICT, OVERRIDE = "verdict", "override"
#: About the ledger itself: a key that entries are signed with since, and that a gap was accepted.
KEY, CONTINUATION = "key", "continuation"
#: A content is published. What says which content is published since, and which version answers again, is a rollback.
PUBLICATION, ROLLBACK = "publication", "rollback"
#: What a model is made of, and that it was made.
SPLIT, TRAINING, MEASUREMENT, CARD, PACKAGING, HISTORY = (
    "split",
    "training",
    "measurement",
    "card",
    "packaging",
    "history",
)
#: What a run made of published content: features, scores, what is known of models in use.
DERIVATION = "derivation"
#: Decisions on a candidate, what it was registered as, and that a person accepted weaker gates.
APPROVAL, REGISTRATION, REJECTION, VERSION, LOOSENING = "approval", "registration", "rejection", "version", "loosening"
#: A rollout that began, a version that answers since, and a package that never will again.
ROLLOUT, PROMOTION, WITHDRAWAL = "rollout", "promotion", "withdrawal"
#: A model that was made again from its manifest.
REPLAY = "replay"
#: What was seen: of inputs of a candidate, and of a model in use.
DRIFT, LIVE_DRIFT, LIVE_PERFORMANCE = "drift", "live_drift", "live_performance"
#: What sensors did: a training that was asked for, a model that waits for something, what a person was told.
RETRAIN, AUTOMATION, ALERT = "retrain", "automation", "alert"
