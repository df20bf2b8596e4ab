"""Built-in sentences with verbs of two senses in two tenses: simple templates, written for this study, not SemCor."""

from __future__ import annotations

from isotropy_metrics.study.data.annotated_words import AnnotatedWords

SOURCE = "built-in template sentences, written for this study (not SemCor)"
PER_CELL = 10
"""Sentences for each sense of a verb in each tense."""


def built_in_senses() -> AnnotatedWords:
    """For each verb, sense and tense ten sentences, of a subject, the verb, what follows it, and a time or place.

    No two sentences of a verb have the same words after it, so that senses and tenses differ in context alike.
    Subjects and endings come from the same lists for all verbs and say nothing about sense or tense.
    """
    columns: dict[str, list[str]] = {name: [] for name in ("word", "form", "sense", "tense", "sentence")}
    n_cells = 0
    for verb, (present, past, senses) in VERBS.items():
        for sense, listed in senses.items():
            following = [" ".join(each.split()) for each in listed.split(";")]
            for tense, form, part in (
                ("present", present, following[:PER_CELL]),
                ("past", past, following[PER_CELL:]),
            ):
                for i, rest in enumerate(part):
                    subject = SUBJECTS[(7 * i + 3 * n_cells) % len(SUBJECTS)]
                    ending = ENDINGS[(3 * i + n_cells) % len(ENDINGS)]
                    values = verb, form, sense, tense, f"The {subject} {form} {rest} {ending}."
                    for column, value in zip(columns.values(), values, strict=True):
                        column.append(value)
                n_cells += 1
    return AnnotatedWords(
        columns["word"], columns["sense"], columns["tense"], columns["sentence"], columns["form"], SOURCE
    )


SUBJECTS = """teacher doctor farmer lawyer painter singer driver soldier nurse merchant writer baker gardener
    pilot dancer sailor judge banker butcher carpenter cook guard hunter mayor miner neighbor poet porter priest
    prince professor queen reporter student tailor tourist visitor waiter king captain woman man girl""".split()

ENDINGS = (
    "after lunch",
    "in the evening",
    "before noon",
    "on Monday",
    "without a word",
    "at night",
    "in the morning",
    "once again",
    "with great care",
    "on the first day",
    "in the summer",
    "as planned",
    "in spite of the rain",
)

VERBS: dict[str, tuple[str, str, dict[str, str]]] = {
    "break": (
        "breaks",
        "broke",
        {
            "shatter": """the window; a plate; the vase; a cup; the mirror; the bottle; an egg; the lamp; a pencil;
                the chair; the glass; a tooth; the branch; the toy; the stick; the bowl; a jar; the door; the lock;
                the camera""",
            "violate": """the law; a promise; the rules; the agreement; the contract; an oath; the treaty; the curfew;
                the truce; the code; a vow; the ban; her word; the commandment; the regulations; the ceasefire; the
                pact; his pledge; the speed limit; the terms""",
        },
    ),
    "catch": (
        "catches",
        "caught",
        {
            "capture": """the ball; a fish; the thief; a butterfly; the rabbit; a trout; the burglar; two mice; the
                horse; a falling plate; a rope; the dog; three crabs; the fugitive; a snake; the keys; a salmon; the
                spy; a lizard; the chicken""",
            "fall ill": """a cold; the flu; measles; pneumonia; a fever; malaria; a virus; the mumps; chickenpox; a
                stomach bug; bronchitis; cholera; an infection; typhoid; scarlet fever; the plague; hepatitis;
                whooping cough; tuberculosis; a bad cough""",
        },
    ),
    "charge": (
        "charges",
        "charged",
        {
            "ask a price": """the guest a fee; ten dollars for the ticket; the client for the repair; too much for the
                meal; the customer twice; five euros for parking; a small fee for the tour; nothing for the advice;
                the company for the work; rent for the room; interest on the loan; forty pounds for the lesson; the
                family for the damage; the tenant for the water; a fortune for the dress; the passengers extra; half
                price for children; admission at the door; the city for the trees; a penny for each apple""",
            "load with power": """the phone; the battery; the laptop; the tablet; the camera; the electric car; the
                scooter; the headphones; the drill; the flashlight; the watch; the speaker; the toothbrush; the razor;
                the tools; the wheelchair; the power bank; the drone; the radio; the lantern""",
        },
    ),
    "deliver": (
        "delivers",
        "delivered",
        {
            "bring": """the mail; a parcel; the newspapers; a pizza; the furniture; two boxes; the flowers; a package;
                fresh milk; the groceries; the bread; a letter; the coal; three crates; the medicine; the new sofa; a
                telegram; the wood; the bricks; the tickets""",
            "speak": """a speech; a lecture; the sermon; the opening address; a eulogy; an angry talk; the keynote; a
                short statement; the final report; a long monologue; a toast; the closing argument; the verdict; a
                farewell address; a warning; an apology; the annual lecture; a prayer; the news; a passionate
                appeal""",
        },
    ),
    "draw": (
        "draws",
        "drew",
        {
            "sketch": """a horse; a picture of the house; a circle; the face of a child; a map; a dragon; the outline;
                a flower; a cartoon; a straight line; a portrait; a tree; a diagram; two birds; a triangle; the
                harbor; a ship; a castle; a cat; the letter A""",
            "attract": """a large crowd; many visitors; the attention of the press; criticism; the interest of the
                public; new customers; loud applause; a big audience; praise; the anger of the fans; thousands of
                tourists; laughter; young readers; curious looks; investors; record crowds; complaints; sympathy;
                support; much attention""",
        },
    ),
    "fire": (
        "fires",
        "fired",
        {
            "dismiss": """the manager; two workers; the coach; his assistant; the chauffeur; the chef; the whole
                staff; a secretary; the accountant; the nanny; the attorney; the director; a salesman; the editor; his
                agent; the clerk; ten employees; the cleaner; the technician; the producer""",
            "shoot": """the gun; a shot; the cannon; two bullets; a rifle; the pistol; a warning shot; an arrow; a
                rocket; the missile; three rounds; the torpedo; a flare; his weapon; the shotgun; blank cartridges; a
                salvo; the machine gun; a revolver; a tear gas grenade""",
        },
    ),
    "leave": (
        "leaves",
        "left",
        {
            "depart": """the house; the party; the building; the office; the country; the room; the school; the
                station; the stage; the town; the harbor; the meeting; the restaurant; the hospital; the field; the
                island; the airport; the theater; the village; the camp""",
            "bequeath": """a fortune to her niece; the farm to his son; the paintings to a museum; all the money to
                charity; a ring to his daughter; the estate to the church; the shop to an old friend; nothing to the
                family; a piano to her sister; the vineyard to his nephew; ten thousand dollars to the orphanage; the
                jewels to her granddaughter; the business to his brother; the books to the university; a cottage to
                the maid; half of the land to his widow; the collection to the city; a small sum to each heir; the
                silver to her cousin; the savings to his wife""",
        },
    ),
    "order": (
        "orders",
        "ordered",
        {
            "command": """the soldiers to retreat; the troops to stop; the crew to wait; the men to march; the
                prisoners to stand; the police to search the house; the servants to leave; an attack on the town;
                silence in the hall; the guards to close the gate; the crowd to move back; the release of the
                hostages; the pilot to land; the boy to sit down; the destruction of the bridge; the workers to dig;
                an inquiry into the accident; the witness to answer; a halt to the fighting; the people to stay
                inside""",
            "request goods": """a pizza; the soup; a coffee; two books; a steak; the fish; a new coat; a bottle of
                wine; the salad; three beers; a sandwich; a taxi; the lobster; a pair of shoes; some pasta; a glass of
                water; the dessert; spare parts; a cake; the roast duck""",
        },
    ),
    "play": (
        "plays",
        "played",
        {
            "take part in a game": """football; chess; tennis; cards; hockey; baseball; a video game; poker; rugby;
                golf; a friendly match; basketball; dominoes; darts; volleyball; checkers; hide and seek; billiards;
                cricket; table tennis""",
            "make music": """the piano; the violin; the guitar; a sonata; the drums; the flute; a waltz; the trumpet;
                the cello; a lullaby; the organ; a symphony; the harp; the saxophone; an old song; the clarinet; the
                accordion; a concerto; the banjo; a slow tune""",
        },
    ),
    "raise": (
        "raises",
        "raised",
        {
            "lift": """the flag; his hand; the glass; her eyebrows; the curtain; the lid; an arm; the sail; a fist;
                the anchor; the blinds; her head; the sword; the hood of the car; the bucket; his hat; the bar; the
                umbrella; a finger; the sunken ship""",
            "collect money": """money for the school; funds for the museum; a million dollars; capital for the
                company; cash for the victims; donations for the hospital; taxes for the war; money for a statue;
                funds for research; a large sum; two thousand pounds; capital from investors; money for the orphans;
                funds for the campaign; money for the new roof; contributions from members; enough for the trip; loans
                from the banks; funds for the refugees; money for the zoo""",
        },
    ),
    "run": (
        "runs",
        "ran",
        {
            "manage": """a bakery; the hotel; a small company; the farm; the school; a restaurant; the city; a
                bookshop; the department; a charity; the factory; the orphanage; a dance studio; the newspaper; an
                agency; the hospital; the museum; a gallery; the campaign; the ministry""",
            "move fast": """to the station; across the field; down the stairs; along the beach; through the forest; up
                the hill; to the bus; around the lake; out of the house; after the thief; into the garden; toward the
                river; home; to the door; over the bridge; down the street; behind the barn; back to the village; past
                the gate; to the phone""",
        },
    ),
    "serve": (
        "serves",
        "served",
        {
            "offer food": """soup to the guests; the dinner; hot tea; a dish of rice; the dessert; cold beer; the
                roast beef; a glass of wine; the pasta; pancakes; the salad; a light lunch; the fish with lemon;
                coffee and cake; a cheese plate; the stew; breakfast; fresh oysters; the pudding; sandwiches""",
            "work for": """the country; the king; the people; his party; the crown; the public; the community; the
                church; the nation; in the navy; as a minister; the queen; in the army; the government; as an officer;
                the republic; on the committee; the emperor; the cause; as an ambassador""",
        },
    ),
}
"""By verb: its present and past forms, and by sense what follows it, the first half in the present."""
