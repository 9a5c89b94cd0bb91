"""Common English words by kind, the raw material of every generated text.

A noun or a verb stands in its base form, irregular ones with their other forms after slashes:
`man/men`, `go/went/gone`. `training_worker.tasks.grammar` makes the rest.
"""


def listed(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


PEOPLE = listed("""
man/men woman/women child/children boy girl friend neighbour teacher student doctor nurse farmer
baker butcher cook waiter driver pilot sailor soldier captain king queen prince princess judge
lawyer police_officer firefighter singer dancer actor artist painter writer poet musician scientist
engineer builder carpenter plumber mechanic gardener tailor hunter fisher shepherd merchant
shopkeeper customer guest visitor tourist traveller stranger uncle aunt cousin brother sister
mother father grandmother grandfather son daughter husband wife/wives baby twin manager secretary
clerk worker owner boss player coach runner swimmer champion reporter editor librarian professor
chemist dentist surgeon patient priest monk guard thief/thieves spy prisoner witness mayor
president minister ambassador citizen villager
""")
ANIMALS = listed("""
dog cat horse cow pig sheep/sheep goat hen duck goose/geese rabbit mouse/mice rat fox wolf/wolves
bear lion tiger elephant monkey giraffe zebra camel donkey deer/deer squirrel bat owl eagle crow
parrot pigeon swan penguin frog snake turtle lizard fish/fish shark whale dolphin crab bee ant
butterfly spider fly beetle worm snail puppy kitten pony
""")
THINGS = listed("""
book letter map picture photograph newspaper pen pencil key lock door window table chair bed desk
lamp candle mirror clock watch box bag basket bottle cup plate bowl knife/knives fork spoon pot pan
kettle stove oven fridge radio television telephone computer screen camera guitar piano violin drum
bell ball doll toy kite rope chain hammer nail saw axe spade bucket broom ladder wheel engine
machine tool wire pipe brick stone coin ring necklace crown shirt coat hat shoe boot glove scarf
dress jacket sweater sock pocket button umbrella blanket pillow carpet curtain towel soap brush
comb ticket stamp card flag sign wall floor roof fence gate statue painting poster leaf/leaves
flower tree branch root seed stick shell feather bone egg tent boat ship canoe raft bicycle car bus
train truck tractor plane rocket cart sledge parcel envelope notebook magazine diary medal hook
needle thread cloth
""")
FOODS = listed("""
bread butter cheese milk cream sugar salt pepper honey jam rice pasta soup stew meat beef chicken
ham sausage bacon potato/potatoes tomato/tomatoes onion carrot cabbage pea bean pumpkin mushroom
apple pear orange lemon banana grape cherry plum peach strawberry/strawberries nut cake pie biscuit
pancake chocolate tea coffee juice water wine beer sandwich salad pizza noodle dumpling sauce
""")
PLACES = listed("""
house home garden kitchen bedroom bathroom cellar attic garage street road bridge square market
shop bakery bank school university library museum theatre cinema church temple castle palace tower
hospital hotel restaurant cafe pub station airport harbour factory office farm barn field forest
wood hill mountain valley river lake sea ocean beach island desert cave village town city country
park zoo stadium playground pool bridge gallery laboratory court prison post_office mill mine port
path corner meadow swamp cliff coast waterfall spring border camp
""")
ABSTRACT = listed("""
idea plan story song poem joke secret promise question answer reason problem solution mistake
lesson rule law order choice chance dream hope fear anger joy love hate peace war battle game race
match prize gift party wedding birthday holiday journey trip visit meeting talk speech argument
message word name number price cost bill debt money job task duty skill talent habit custom
language science music art history nature weather storm rain snow wind cloud sun moon star night
day morning evening week month year winter summer autumn spring minute hour moment past future
beginning end middle side part piece half group team crowd line shape circle colour sound noise
voice smell taste light shadow fire smoke heat cold health illness pain strength speed weight
height size age truth lie doubt belief opinion advice news report example experiment result
discovery invention design project program system method effort success failure danger accident
trouble crime adventure mystery tradition culture power energy memory thought
""")
TRANSITIVE = listed("""
open close carry move push pull lift drop throw/threw/thrown catch/caught/caught kick hit/hit/hit
hold/held/held take/took/taken bring/brought/brought give/gave/given send/sent/sent receive
buy/bought/bought sell/sold/sold pay/paid/paid steal/stole/stolen lose/lost/lost find/found/found
hide/hid/hidden show/showed/shown see/saw/seen watch hear/heard/heard touch smell taste
eat/ate/eaten drink/drank/drunk cook bake cut/cut/cut wash clean dry paint draw/drew/drawn
write/wrote/written read/read/read study learn teach/taught/taught explain describe discuss
remember forget/forgot/forgotten know/knew/known understand/understood/understood believe like love
hate prefer want need enjoy fear admire respect trust help protect follow lead/led/led meet/met/met
visit join leave/left/left reach enter cross climb pass drive/drove/driven ride/rode/ridden
fly/flew/flown build/built/built make/made/made break/broke/broken repair fix destroy burn plant
grow/grew/grown water pick collect count measure weigh compare choose/chose/chosen check test try
use waste save share borrow lend/lent/lent keep/kept/kept hang/hung/hung cover fill empty pack wrap
tie untie join mix pour shake/shook/shaken stir roll fold press turn win/won/won start finish stop
continue change improve invent discover design plan order offer refuse accept answer ask call
invite thank praise blame punish forgive/forgave/forgiven support attack defend capture free chase
hunt feed/fed/fed wear/wore/worn miss notice ignore recognise imagine record print publish
translate copy solve guess prove examine observe explore
""")
INTRANSITIVE = listed("""
walk run/ran/run jump swim/swam/swum dance sing/sang/sung sleep/slept/slept wake/woke/woken rest
sit/sat/sat stand/stood/stood lie/lay/lain fall/fell/fallen rise/rose/risen wait stay arrive return
travel come/came/come go/went/gone live die laugh smile cry shout whisper talk speak/spoke/spoken
listen look think/thought/thought wonder worry hesitate agree disagree argue fight/fought/fought
work play practise succeed fail appear disappear happen begin/began/begun shine/shone/shone burn
bark sneeze cough breathe shiver tremble wander hurry march sail float sink/sank/sunk crawl slip
stumble hide kneel/knelt/knelt bow nod wave yawn snore sigh whistle complain apologise pray vote
retire escape
""")
ADJECTIVES = listed("""
big small large little tiny huge tall short long wide narrow thick thin deep shallow high low heavy
light strong weak fast slow quick quiet loud silent noisy bright dark pale clear cloudy hot cold
warm cool wet dry clean dirty new old young ancient modern fresh rotten ripe raw sweet sour bitter
salty hard soft smooth rough sharp dull flat round straight curved full empty rich poor cheap
expensive free busy lazy tired sleepy hungry thirsty happy sad angry calm nervous proud shy brave
afraid lonely cheerful gentle kind cruel honest polite rude clever wise foolish stupid careful
careless patient curious famous popular strange ordinary common rare special simple difficult easy
possible impossible important useful useless dangerous safe healthy sick beautiful pretty ugly
handsome lovely wonderful terrible awful perfect broken whole wooden golden silver iron plastic
paper woollen local foreign public private main early late sudden recent final real false true
wrong right correct similar different equal single double certain comfortable friendly generous
grateful jealous loyal mysterious powerful serious tidy weird wild tame steep frozen hidden lost
open closed
""")
COLOURS = listed("red blue green yellow black white brown grey pink purple orange golden silver")
ADVERBS = listed("""
quickly slowly quietly loudly carefully carelessly happily sadly angrily calmly nervously proudly
bravely gently kindly politely rudely cleverly wisely patiently suddenly finally usually often
sometimes always never again soon early late together alone easily badly well hard everywhere
outside inside upstairs downstairs nearby twice once silently softly gladly eagerly seriously
secretly openly exactly nearly almost barely clearly freely
""")
TIMES = listed("""
yesterday last_week last_year that_morning that_evening one_day in_the_afternoon at_midnight
before_lunch after_dinner on_Monday on_Tuesday on_Wednesday on_Thursday on_Friday on_Saturday
on_Sunday in_spring in_summer in_autumn in_winter a_long_time_ago the_next_day at_noon
during_the_storm after_the_party before_sunrise when_the_bell_rang two_days_later
""")
PREPOSITIONS = listed("in near behind beside at inside outside above below across_from next_to by")
CONNECTIVES = listed(
    "then after_that later soon suddenly in_the_end because_of_this however meanwhile"
)
FIRST_NAMES = listed("""
Anna Ben Clara David Emma Frank Grace Henry Ivy Jack Kate Leo Maria Noah Olivia Peter Quinn Rosa
Sam Tina Umar Vera William Xenia Yusuf Zoe Adam Bella Carl Diana Eric Fiona George Hannah Isaac
Julia Kevin Laura Martin Nina Oscar Paula Ralph Sarah Thomas Ursula Victor Wendy Alice Robert
Lucy James Amira Chen Dara Elif Farid Gita Hugo Ines Jonas Karim Lena Mina Nadia Omar Priya Rafael
Sofia Tariq Vikram Yara Marta Pablo Simon Helen Daniel Ruth Michael Eva Lily Max Ella Tom Mary John
""")
SURNAMES = listed("""
Adler Baker Carter Dawson Ellis Foster Grant Harper Irving Jensen Keller Lawson Mason Novak Olsen
Parker Quill Rowe Shaw Turner Underwood Vance Walker Young Abbott Barnes Cole Drake Evans Fisher
Gray Hill Ingram Jacobs Knight Lane Marsh Nash Owens Price Reed Stone Tate Vaughn West Winter Brook
Field Ford Wood Moss Rivers Snow Frost Lake Bell Bright Swift Marlow Archer Hunter
""")
SUBJECTS = listed("""
history geography biology chemistry physics mathematics astronomy medicine philosophy economics
grammar drawing cooking farming sailing weaving engineering architecture botany geology law
""")
GENRES = listed("novel poem play song opera painting film symphony ballad essay cookbook atlas")
MATERIALS = listed("wood stone iron glass paper leather cotton wool copper silk clay plastic steel")
UNITS = listed(
    "metres kilometres grams kilograms litres hours days minutes pages steps boxes coins"
)
MONTHS = listed("""
January February March April May June July August September October November December
""")
WEEKDAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
ONES = listed("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
""")
TENS = listed("twenty thirty forty fifty sixty seventy eighty ninety")
PRAISE = listed("""
excellent wonderful great delightful brilliant charming superb lovely amazing enjoyable touching
funny clever beautiful thrilling moving fresh honest impressive fascinating memorable warm
""")
BLAME = listed("""
terrible boring awful dull weak disappointing clumsy slow empty annoying predictable stupid messy
painful tired lifeless confusing cheap ugly shallow unfunny forgettable cold
""")
REVIEWED = listed("""
film movie story plot acting script book novel meal service hotel music ending performance
direction dialogue cast comedy drama room food concert game product
""")
FUNCTION_WORDS = listed("""
the a an and or but if when while because although though since until before after of to in on at
by with without from into over under between through about against during for as than that this
these those which who whom whose what where why how he she it they we you I him her them us me his
its their our your my is are was were be been being have has had do does did will would can could
should may might must not no yes all some any every each many much more most few other another same
such only also just even still yet too very here there now then up down out off again
""")


def spoken(word: str) -> str:
    """Return a listed word as it is read, its joining underscores made spaces."""
    return word.replace("_", " ")


def vocabulary() -> frozenset[str]:
    """Return every distinct listed word, irregular forms apart, as single words."""
    lists = (
        PEOPLE
        + ANIMALS
        + THINGS
        + FOODS
        + PLACES
        + ABSTRACT
        + TRANSITIVE
        + INTRANSITIVE
        + ADJECTIVES
        + COLOURS
        + ADVERBS
        + TIMES
        + PREPOSITIONS
        + CONNECTIVES
        + FIRST_NAMES
        + SURNAMES
        + SUBJECTS
        + GENRES
        + MATERIALS
        + UNITS
        + MONTHS
        + WEEKDAYS
        + ONES
        + TENS
        + PRAISE
        + BLAME
        + REVIEWED
        + FUNCTION_WORDS
    )
    return frozenset(part for word in lists for form in word.split("/") for part in form.split("_"))
