"""From a network to something that serves: export with proof, predict, bench."""
