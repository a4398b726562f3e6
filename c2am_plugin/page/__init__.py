"""HTML pages of pictures, curves and tables: what bench, show and the trainings have in common."""
