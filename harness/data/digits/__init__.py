"""The embedded dataset, Scripted Digits: what it shows, how it is drawn, made and kept."""
