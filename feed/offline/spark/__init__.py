"""Training on Apache Spark: the same model from the same archive, by many processes."""
