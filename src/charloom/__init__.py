"""charloom: character-level recurrent language models, proven, fast and explained."""
