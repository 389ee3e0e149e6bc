"""The laboratory: studies, simulated points, published data sets and the demonstration. The product does not import it."""
