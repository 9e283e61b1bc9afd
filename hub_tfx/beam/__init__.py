"""Apache Beam, as all jobs use it: options, metrics, staging, errors that come back as text."""
