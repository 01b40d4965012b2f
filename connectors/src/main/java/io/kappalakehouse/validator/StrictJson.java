package io.kappalakehouse.validator;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads exactly one RFC 8259 object: no duplicate names (compared after unescaping), no lone surrogates, a bounded
 * depth, nothing after it but white space.
 *
 * <p>Libraries are lenient in one of these or in how they round numbers, each in its own way; a verdict must not
 * depend on that. Values come back as {@code String}, {@code Boolean}, null, {@code Map}, {@code List}, {@code Long}
 * or {@link OtherNumber}.
 */
final class StrictJson {

  /** Numbers that are no int64: only their kind matters to a verdict. */
  enum OtherNumber {
    WITH_FRACTION_OR_EXPONENT,
    INTEGER_BEYOND_INT64
  }

  /** The text is not such an object. Without a stack trace: dead letters are an everyday thing. */
  static final class NotJson extends RuntimeException {
    NotJson(String message) {
      super(message, null, false, false);
    }
  }

  private static final int LONGEST_INT64 = 20;

  private final String text;
  private final int maxDepth;
  private int at;

  private StrictJson(String text, int maxDepth) {
    this.text = text;
    this.maxDepth = maxDepth;
  }

  /**
   * The object that the text is; the outermost object has depth 1.
   *
   * @throws NotJson if the text is anything else
   */
  static Map<String, Object> parseObject(String text, int maxDepth) {
    StrictJson reader = new StrictJson(text, maxDepth);
    reader.skipSpace();
    if (reader.peek() != '{') {
      throw new NotJson("not an object");
    }
    Map<String, Object> object = reader.object(1);
    reader.skipSpace();
    if (reader.at != text.length()) {
      throw new NotJson("trailing text");
    }
    return object;
  }

  private Object value(int depth) {
    switch (peek()) {
      case '{':
        return object(depth + 1);
      case '[':
        return array(depth + 1);
      case '"':
        return string();
      case 't':
        return literal("true", Boolean.TRUE);
      case 'f':
        return literal("false", Boolean.FALSE);
      case 'n':
        return literal("null", null);
      default:
        return number();
    }
  }

  private Map<String, Object> object(int depth) {
    enter(depth);
    Map<String, Object> members = new LinkedHashMap<>();
    if (peek() == '}') {
      at++;
      return members;
    }
    while (true) {
      if (peek() != '"') {
        throw new NotJson("expected a name");
      }
      String name = string();
      skipSpace();
      expect(':');
      skipSpace();
      if (members.containsKey(name)) {
        throw new NotJson("duplicate name");
      }
      members.put(name, value(depth));
      skipSpace();
      if (endOf('}')) {
        return members;
      }
    }
  }

  private List<Object> array(int depth) {
    enter(depth);
    List<Object> items = new ArrayList<>();
    if (peek() == ']') {
      at++;
      return items;
    }
    while (true) {
      items.add(value(depth));
      skipSpace();
      if (endOf(']')) {
        return items;
      }
    }
  }

  private void enter(int depth) {
    if (depth > maxDepth) {
      throw new NotJson("nested too deep");
    }
    at++;
    skipSpace();
  }

  /** Whether the container ends here; if a comma stands here instead, goes to what follows it. */
  private boolean endOf(char close) {
    if (peek() == close) {
      at++;
      return true;
    }
    expect(',');
    skipSpace();
    return false;
  }

  private String string() {
    int start = ++at;
    while (at < text.length()) {
      char c = text.charAt(at);
      if (c == '"') {
        return text.substring(start, at++);
      }
      if (c == '\\') {
        return escapedString(start);
      }
      plain(c);
      at++;
    }
    throw new NotJson("unclosed string");
  }

  private String escapedString(int start) {
    StringBuilder unescaped = new StringBuilder(text.substring(start, at));
    while (at < text.length()) {
      char c = text.charAt(at++);
      if (c == '"') {
        return wellFormed(unescaped);
      }
      if (c == '\\') {
        unescaped.append(escape());
      } else {
        plain(c);
        unescaped.append(c);
      }
    }
    throw new NotJson("unclosed string");
  }

  private static void plain(char c) {
    if (c < ' ') {
      throw new NotJson("control character in a string");
    }
  }

  private char escape() {
    char c = peek();
    at++;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        return c;
      case 'b':
        return '\b';
      case 'f':
        return '\f';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'u':
        return unicodeEscape();
      default:
        throw new NotJson("unknown escape");
    }
  }

  private char unicodeEscape() {
    int code = 0;
    for (int i = 0; i < 4; i++) {
      // Character.digit alone would take other scripts' digits.
      char c = peek();
      int digit = c < 128 ? Character.digit(c, 16) : -1;
      if (digit < 0) {
        throw new NotJson("bad unicode escape");
      }
      code = code * 16 + digit;
      at++;
    }
    return (char) code;
  }

  private static String wellFormed(StringBuilder unescaped) {
    for (int i = 0; i < unescaped.length(); i++) {
      char c = unescaped.charAt(i);
      if (Character.isHighSurrogate(c)
          && i + 1 < unescaped.length()
          && Character.isLowSurrogate(unescaped.charAt(i + 1))) {
        i++;
      } else if (Character.isSurrogate(c)) {
        throw new NotJson("lone surrogate");
      }
    }
    return unescaped.toString();
  }

  private Object number() {
    int start = at;
    if (peek() == '-') {
      at++;
    }
    if (peek() == '0') {
      at++;
    } else {
      digits();
    }
    boolean integer = true;
    if (peek() == '.') {
      integer = false;
      at++;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      integer = false;
      at++;
      if (peek() == '+' || peek() == '-') {
        at++;
      }
      digits();
    }
    if (!integer) {
      return OtherNumber.WITH_FRACTION_OR_EXPONENT;
    }
    if (at - start > LONGEST_INT64) {
      return OtherNumber.INTEGER_BEYOND_INT64;
    }
    try {
      return Long.parseLong(text, start, at, 10);
    } catch (NumberFormatException e) {
      return OtherNumber.INTEGER_BEYOND_INT64;
    }
  }

  private void digits() {
    int start = at;
    while (peek() >= '0' && peek() <= '9') {
      at++;
    }
    if (at == start) {
      throw new NotJson("expected a digit");
    }
  }

  private Object literal(String word, Object value) {
    if (!text.startsWith(word, at)) {
      throw new NotJson("unknown literal");
    }
    at += word.length();
    return value;
  }

  /** The character here; NUL, which no grammar rule takes, at the end. */
  private char peek() {
    return at < text.length() ? text.charAt(at) : '\0';
  }

  private void expect(char c) {
    if (peek() != c) {
      throw new NotJson("expected " + c);
    }
    at++;
  }

  private void skipSpace() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') {
      at++;
    }
  }
}
