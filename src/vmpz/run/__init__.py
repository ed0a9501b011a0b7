"""Running: manifest and parameters to jobs, jobs to products. The only room where computing meets files."""
