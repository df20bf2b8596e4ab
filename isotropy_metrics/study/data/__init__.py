"""Where texts, labels and facts about words come from: bundled packages, files, generators."""
