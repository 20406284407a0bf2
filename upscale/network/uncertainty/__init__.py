"""Prediction intervals and the area of applicability."""
