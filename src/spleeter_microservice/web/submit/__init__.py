"""From a request to a job: uploads, options and checks."""
