"""What plugs into a `transformers.Trainer`: the callback, regularisers and the enhancement collator come here."""
