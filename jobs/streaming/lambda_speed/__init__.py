"""Lambda's speed layer: what came after the batch layer's cut, counted within seconds."""
