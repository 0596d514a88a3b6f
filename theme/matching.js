// What in a text a query means: whole words before parts of words, plurals and other endings, phrases in quotes.
// Letters with marks are found without them, and the other way round.

const EDGE = { before: "(?<![\\p{L}\\p{N}_])", after: "(?![\\p{L}\\p{N}_])" };
const ENDINGS = "(?:s|es|e|ed|d|ings?|ers?|y|ies|ied|(?<=ion)al|ly)?";
const NUMBER = /^\d+(?:\.\d+)+$/;

// As long as the text is, so that what is found in it has its place there.
function folded(text) {
    return text.normalize("NFC").replace(/[\u00c0-\u024f\u1e00-\u1eff]/g, (letter) => letter.normalize("NFD")[0])
        .toLowerCase().replace(/[‘’]/g, "'").replace(/[“”„]/g, "\"").replaceAll("\u00a0", " ");
}

// What a word and its other forms begin with; nothing for what is no word, and for the shortest.
function stemOf(word) {
    if (!/^[a-z]{3,}$/.test(word)) {
        return null;
    }
    const bare = /(?:ss|is|as|.{4}us)$/.test(word) ? word : word.replace(/ional$/, "ion").replace(/(?:ies|ied|ings?|ed|es|s|y|e)$/, "");
    const stem = bare.replace(/([bdgmnprt])\1$/, "$1");
    return stem.length >= 3 ? stem : null;
}

function escaped(text) {
    return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&").replace(/\s+/g, "\\s+");
}

// A word or a phrase, with patterns from the narrowest to the widest.
function term(text) {
    const stem = stemOf(text);
    const after = NUMBER.test(text) ? "(?![\\p{L}\\p{N}_]|\\.\\d)" : EDGE.after;
    const before = NUMBER.test(text) ? "(?<![\\p{L}\\p{N}_.])" : EDGE.before;
    const isWord = (sign) => /[\p{L}\p{N}_]/u.test(sign);
    const whole = `${isWord(text[0]) ? before : ""}${escaped(text)}${isWord(text.at(-1)) ? after : ""}`;
    const forms = stem && `${EDGE.before}${stem}${/[bdgmnprt]$/.test(stem) ? `${stem.at(-1)}?` : ""}${ENDINGS}${EDGE.after}`;
    return {
        text,
        core: (stem ?? text).split(/\s/)[0], // what is nowhere, no pattern needs to look for
        patterns: [whole, forms, NUMBER.test(text) ? null : escaped(text)].map((source) => source && new RegExp(source, "gu")),
    };
}

function termsOf(query) {
    const parts = folded(query).matchAll(/"\s*([^"]*?)\s*"|([^\s"]+)/g);
    return [...parts].map(([, phrase, word]) => phrase ?? word).filter(Boolean).map(term);
}

// Where the terms are in a folded text: the words themselves and their forms, and parts of words only if there are none.
function placesIn(text, terms) {
    const places = terms.flatMap(({ core, patterns: [whole, forms, part] }) => {
        if (!text.includes(core)) {
            return [];
        }
        const found = [whole, forms].flatMap((pattern) => (pattern ? [...text.matchAll(pattern)] : []));
        return found.length || !part ? found : [...text.matchAll(part)];
    });
    const sorted = places.map((match) => [match.index, match.index + match[0].length]).sort((a, b) => a[0] - b[0] || b[1] - a[1]);
    const apart = [];
    for (const place of sorted) {
        if (!apart.length || place[0] >= apart.at(-1)[1]) {
            apart.push(place);
        }
    }
    return apart;
}
