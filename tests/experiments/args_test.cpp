#include "experiments/support/args.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/base/check.h"

using namespace coarsegrad;
using experiments::Args;

namespace {

/// One knob of each kind, and a command line to set them with.
struct Fixture {
  int m = 10;
  std::int64_t n = 5;
  std::uint64_t u = 3;
  double rate = 0.5, eta = 1;
  bool flag = true;
  std::string ste = "relu", text = "plain";
  std::vector<int> bits{2, 4};
  std::vector<double> etas{0.1};
  std::vector<std::string> stes{"relu"};
  Args args{"probe", "a probe"};
  std::filesystem::path file = std::filesystem::temp_directory_path() / cat("args_test.", getpid(), ".json");

  Fixture() {
    args.add("m", m, "an int", {1, 4096});
    args.add("n", n, "an int64");
    args.add("u", u, "a uint64");
    args.add("rate", rate, "a bounded double", {0, 1});
    args.add("eta", eta, "a double");
    args.add("flag", flag, "a switch");
    args.add("ste", ste, "a choice", {"identity", "relu"});
    args.add("text", text, "a text");
    args.add("bits", bits, "ints", {1, 32});
    args.add("etas", etas, "doubles", {0, 10});
    args.add("stes", stes, "names", {"identity", "relu"});
  }
  ~Fixture() { std::filesystem::remove(file); }

  bool parse(const std::vector<std::string>& words) {
    std::vector<const char*> argv{"probe"};
    for (const auto& word : words) argv.push_back(word.c_str());
    return args.parse(static_cast<int>(argv.size()), argv.data());
  }
  /// The message of the UsageError, "" when there is none.
  std::string refusal(const std::vector<std::string>& words) {
    try {
      parse(words);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "";
  }
  std::string refusal_of_file(const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
    return refusal({"--config", file.string()});
  }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("flags set every kind of knob, in both spellings") {
  Fixture f;
  CHECK(f.parse({"--m",          "20",     "--n=-7",        "--u",       "18446744073709551615",
                 "--rate=0.25",  "--eta",  "-1e-3",         "--no-flag", "--ste",
                 "identity",     "--text", "two words",     "--bits",    "1,8",
                 "--etas=1,2.5", "--stes", "relu,identity", "--seed",    "9",
                 "--threads",    "3",      "--out",         "a b.h5",    "--quiet"}));
  CHECK(f.m == 20);
  CHECK(f.n == -7);
  CHECK(f.u == 18446744073709551615u);
  CHECK(f.rate == 0.25);
  CHECK(f.eta == -1e-3);
  CHECK_FALSE(f.flag);
  CHECK(f.ste == "identity");
  CHECK(f.text == "two words");
  CHECK(f.bits == std::vector{1, 8});
  CHECK(f.etas == std::vector{1.0, 2.5});
  CHECK(f.stes == std::vector<std::string>{"relu", "identity"});
  CHECK(f.args.seed() == 9);
  CHECK(f.args.threads() == 3);
  CHECK(f.args.out() == "a b.h5");
  CHECK(f.args.quiet());
  CHECK(contains(f.args.command_line(), "--text 'two words'"));
}

TEST_CASE("without flags the defaults stay") {
  Fixture f;
  CHECK(f.parse({}));
  CHECK(f.m == 10);
  CHECK(f.flag);
  CHECK(f.bits == std::vector{2, 4});
  CHECK(f.args.out() == "results/probe.h5");
}

TEST_CASE("whole numbers may be written with an exponent") {
  Fixture f;
  CHECK(f.parse({"--n", "2e9", "--m=4.096e3"}));
  CHECK(f.n == 2000000000);
  CHECK(f.m == 4096);
}

TEST_CASE("a file sets knobs and flags win over it") {
  Fixture f;
  std::ofstream(f.file) << "\xEF\xBB\xBF"
                        << R"({"m": 30, "rate": 1, "flag": false, "bits": [3], "seed": 5, "n": 1e3})";
  CHECK(f.parse({"--m", "40", "--config", f.file.string()}));
  CHECK(f.m == 40);
  CHECK(f.rate == 1);
  CHECK_FALSE(f.flag);
  CHECK(f.bits == std::vector{3});
  CHECK(f.args.seed() == 5);
  CHECK(f.n == 1000);
}

TEST_CASE("the resolved configuration is JSON that sets the same values again") {
  Fixture f, g;
  f.parse(
      {"--eta", "0.1", "--rate", "0.3333333333333333", "--text", "quote \" and \\", "--bits", "1,2,3", "--seed", "8"});
  std::ofstream(g.file) << f.args.config();
  CHECK(g.parse({"--config", g.file.string()}));
  CHECK(f.args.config() == g.args.config());
  CHECK(g.eta == f.eta);
  CHECK(g.rate == f.rate);
  CHECK(g.text == f.text);
  const auto json = nlohmann::json::parse(f.args.config());
  CHECK(json.contains("threads"));
  CHECK_FALSE(json.contains("out"));
  CHECK_FALSE(json.contains("quiet"));
}

TEST_CASE("flags that are wrong are refused with a line that says what is expected") {
  const struct {
    std::vector<std::string> words;
    std::string expected;
  } table[] = {
      {{"--m", "0"}, "--m: given 0, expected an integer from 1 to 4096"},
      {{"--m", "4097"}, "given 4097"},
      {{"--m", "1.5"}, "expected an integer"},
      {{"--m", "ten"}, "given ten, expected an integer"},
      {{"--m", "10x"}, "given 10x"},
      {{"--m="}, "--m"},
      {{"--m", "99999999999999999999"}, "expected an integer"},
      {{"--n", "9223372036854775808"}, "expected an integer"},
      {{"--n", "1e300"}, "expected an integer"},
      {{"--u", "-1"}, "from 0"},
      {{"--rate", "1.0000001"}, "expected a number from 0 to 1"},
      {{"--rate", "nan"}, "given nan, expected a number"},
      {{"--eta", "inf"}, "expected a finite number"},
      {{"--eta", "1,5"}, "given 1,5"},
      {{"--eta", "1e999"}, "expected a finite number"},
      {{"--flag=maybe"}, "--flag"},
      {{"--ste", "Relu"}, "expected one of identity, relu"},
      {{"--ste", ""}, "expected one of"},
      {{"--text", "a\nb"}, "given a?b"},
      {{"--bits", "2,33"}, "expected a list, each an integer from 1 to 32"},
      {{"--bits", "2,"}, "expected a list"},
      {{"--bits", ""}, "expected a list"},
      {{"--etas", "1,,2"}, "expected a list"},
      {{"--stes", "relu,relo"}, "expected a list, each one of identity, relu"},
      {{"--stes", "relu,identity,relu"}, "--stes: given relu,identity,relu, expected each entry once"},
      {{"--bits", "2,2"}, "--bits: given 2,2, expected each entry once"},
      {{"--etas", "1,0.5,1e0"}, "expected each entry once"},
      {{"--seed", "-1"}, "--seed"},
      {{"--threads", "0"}, "from 1 to 1024"},
      {{"--lr", "1"}, "unknown flag --lr"},
      {{"--M", "1"}, "unknown flag --M"},
      {{"-m", "1"}, "unknown flag -m"},
      {{"10"}, "unexpected argument 10"},
      {{"--m", "1", "--m", "2"}, "--m"},
      {{"--m"}, "--m"},
      {{"--config", "/nonexistent/x.json"}, "No such file"},
      {{"--config", "/"}, "/"},
  };
  for (const auto& row : table) {
    Fixture f;
    const std::string message = f.refusal(row.words);
    CAPTURE(row.words[0]);
    CAPTURE(message);
    CHECK(contains(message, row.expected));
    CHECK_FALSE(contains(message, "\n"));
    CHECK(message.size() < 300);
  }
}

TEST_CASE("files that are wrong are refused with a line that says where or which") {
  const std::pair<std::string, std::string> table[] = {
      {"", "line 1, column 1"},
      {"{", "line 1, column 2"},
      {R"({"m": 1,})", "line 1, column 9"},
      {"{\n  \"m\": 1\n  \"n\": 2\n}", "line 3, column 5"},
      {R"({"rate": NaN})", "line 1, column 10"},
      {R"({"rate": 1e999})", "1e999"},
      {R"({'m': 1})", "line 1, column 2"},
      {"{\"text\": \"\xff\xfe\"}", "line 1, column 11"},
      {R"({"m": 1} x)", "line 1, column 10"},
      {"[1, 2]", "expected an object"},
      {"3", "expected an object"},
      {"null", "expected an object"},
      {R"({"m": 1, "n": 2, "m": 1})", "key 'm' is there twice"},
      {R"({"lr": 1})", "unknown key 'lr', expected one that --help lists"},
      {R"({"rates": 1})", "unknown key 'rates', expected rate (--help lists all)"},
      {R"({"config": "other.json"})", "unknown key 'config'"},
      {R"({"help": true})", "unknown key 'help'"},
      {R"({"m": "10"})", R"(m: given "10", expected an integer)"},
      {R"({"m": true})", "m: given true"},
      {R"({"m": null})", "m: given null"},
      {R"({"m": 0})", "from 1 to 4096"},
      {R"({"m": 1.5})", "m: given 1.5"},
      {R"({"n": 18446744073709551616})", "n: given"},
      {R"({"u": -1})", "u: given -1"},
      {R"({"flag": 1})", "flag: given 1, expected true or false"},
      {R"({"ste": 4})", "ste: given 4"},
      {R"({"bits": 4})", "bits: given 4, expected a list"},
      {R"({"bits": []})", "expected a list"},
      {R"({"bits": [2, "4"]})", R"(bits: given [2,"4"], expected a list)"},
      {R"({"bits": [2, 4, 2]})", "bits: given 2,4,2, expected each entry once"},
      {R"({"bits": [[2]]})", "bits: nested too deep"},
      {R"({"m": {"a": 1}})", "m: given"},
      {R"({"m": {"a": {}}})", "m: nested too deep"},
      {"{\"text\": \"a\\u0000b\"}", "text: given"},
      {"{\"bits\": " + std::string(200000, '['), "nested too deep"},
      {std::string(200000, '{'), "line 1, column 2"},
      {"{\"text\": \"" + std::string(2 << 20, 'x') + "\"}", "bytes, expected at most"},
      {"{\"text\": \"" + std::string(10000, 'x') + "\", \"ste\": \"" + std::string(10000, 'y') + "\"}", "given \"yyy"},
  };
  for (const auto& row : table) {
    Fixture f;
    const std::string message = f.refusal_of_file(row.first);
    CAPTURE(row.first.substr(0, 60));
    CAPTURE(message);
    CHECK(contains(message, row.second));
    CHECK_FALSE(contains(message, "\n"));
    CHECK(message.size() < 500);
  }
}

TEST_CASE("an unknown flag is told with the flags that were meant, not with all of them") {
  const auto refusal = [](const std::string& word) { return Fixture().refusal({word, "1"}); };
  CHECK(refusal("--rat") == "unknown flag --rat, expected --rate (--help lists all)");
  CHECK(refusal("--bit=2") == "unknown flag --bit, expected --bits (--help lists all)");
  CHECK(refusal("--et") == "unknown flag --et, expected --eta, --etas (--help lists all)");
  CHECK(refusal("--no-flg") == "unknown flag --no-flg, expected --no-flag (--help lists all)");
  CHECK(refusal("--confg") == "unknown flag --confg, expected --config (--help lists all)");
  CHECK(refusal("--learning-rate") == "unknown flag --learning-rate, expected one that --help lists");
}

TEST_CASE("a configuration may come from a pipe, as from <(...) of a shell") {
  const auto refusal = [](const std::string& content, Fixture& f) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    std::signal(SIGPIPE, SIG_IGN);
    std::thread writer([&] {
      for (std::size_t done = 0; done < content.size();) {
        const ssize_t n = write(ends[1], content.data() + done, content.size() - done);
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
      }
      close(ends[1]);
    });
    const std::string said = f.refusal({"--config", cat("/dev/fd/", ends[0])});
    close(ends[0]);
    writer.join();
    return said;
  };
  Fixture f;
  CHECK(refusal(R"({"m": 30, "comment": ")" + std::string(100000, 'x') + "\"}", f) == "");
  CHECK(f.m == 30);
  CHECK(contains(refusal(std::string(3 << 20, ' '), f), "given more than 1048576 bytes"));
}

TEST_CASE("a file cut anywhere, or with any byte replaced, is accepted or refused but nothing else") {
  const std::string whole = R"({"m": 30, "rate": 0.5, "flag": false, "bits": [3, 4], "ste": "relu", "text": "ü"})";
  int accepted = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    Fixture f;
    CHECK(f.refusal_of_file(whole.substr(0, i)) != "");
    for (const char c : {'\0', '"', '}', ']', '9', '\xff', ',', '\\'}) {
      std::string damaged = whole;
      damaged[i] = c;
      accepted += f.refusal_of_file(damaged).empty();
    }
  }
  CHECK(accepted > 0);
  CHECK(Fixture().refusal_of_file(whole).empty());
}

TEST_CASE("the help shows every knob with default, range and choices, and nothing is set") {
  Fixture f;
  CHECK_FALSE(f.parse({"--help", "--m", "20"}));
  CHECK(f.m == 10);
  const std::string help = f.args.help();
  for (const char* part : {"probe: a probe", "--m VALUE", "from 1 to 4096 (default 10)", "--[no-]flag",
                           "(default true)", "one of identity, relu (default relu)", "(default 2,4)", "--seed",
                           "--threads", "--out", "--[no-]quiet", "--config", "results/probe.h5"}) {
    CAPTURE(part);
    CHECK(contains(help, part));
  }
}

TEST_CASE("mistakes of the program itself are found when a knob is added") {
  Fixture f;
  int x = 0;
  std::string s = "c";
  CHECK_THROWS_AS(f.args.add("m", x, "taken", {0, 1}), Error);
  CHECK_THROWS_AS(f.args.add("seed", x, "taken", {0, 1}), Error);
  CHECK_THROWS_AS(f.args.add("help", x, "taken", {0, 1}), Error);
  CHECK_THROWS_AS(f.args.add("Big", x, "malformed", {0, 1}), Error);
  CHECK_THROWS_AS(f.args.add("-x", x, "malformed", {0, 1}), Error);
  CHECK_THROWS_AS(f.args.add("x", x, "default out of range", {1, 2}), Error);
  CHECK_THROWS_AS(f.args.add("s", s, "default is no choice", {"a", "b"}), Error);
  f.args.add("x", x, "fits", {0, 1});
}

TEST_CASE("a preset gives other knobs their values, the file wins over it, and flags over both") {
  const auto resolved = [](const std::vector<std::string>& words, const std::string& content = "{}") {
    Fixture f;
    std::string kind = "plain";
    f.args.add_presets("kind", kind, "presets",
                       std::vector<experiments::Preset>{{"fast", {{"rate", "0.9"}, {"bits", "1,8"}, {"flag", "false"}}},
                                                        {"slow", {{"rate", "0.1"}, {"ste", "identity"}}}});
    std::ofstream(f.file) << content;
    std::vector<std::string> all{"--config", f.file.string()};
    all.insert(all.end(), words.begin(), words.end());
    CHECK(f.refusal(all) == "");
    // The resolved configuration says everything: with it alone the result is the same.
    Fixture g;
    std::string same_kind = "plain";
    g.args.add_presets("kind", same_kind, "presets",
                       std::vector<experiments::Preset>{{"fast", {{"rate", "0.7"}}}, {"slow", {{"m", "7"}}}});
    std::ofstream(g.file) << f.args.config();
    CHECK(g.refusal({"--config", g.file.string()}) == "");
    CHECK(g.args.config() == f.args.config());
    return cat(kind, " ", f.rate, " ", f.bits[0], " ", f.flag, " ", f.ste);
  };
  CHECK(resolved({}) == "plain 0.5 2 1 relu");
  CHECK(resolved({"--kind", "fast"}) == "fast 0.9 1 0 relu");
  CHECK(resolved({"--rate", "0.2", "--kind", "fast"}) == "fast 0.2 1 0 relu");
  CHECK(resolved({}, R"({"rate": 0.3, "kind": "slow"})") == "slow 0.3 2 1 identity");
  CHECK(resolved({"--kind", "fast"}, R"({"bits": [4], "kind": "slow"})") == "fast 0.9 4 0 relu");
  CHECK(resolved({"--kind", "fast", "--bits", "6"}, R"({"bits": [4], "flag": true})") == "fast 0.9 6 1 relu");
  CHECK(resolved({"--kind", "plain"}, R"({"kind": "slow"})") == "plain 0.5 2 1 relu");

  Fixture f;
  std::string kind = "plain", other = "plain";
  using Presets = std::vector<experiments::Preset>;
  CHECK_THROWS_AS(f.args.add_presets("kind", kind, "x", Presets{{"fast", {{"speed", "1"}}}}), Error);
  CHECK_THROWS_AS(f.args.add_presets("kind", kind, "x", Presets{{"fast", {{"rate", "2"}}}}), Error);
  CHECK(f.rate == 0.5);
  f.args.add_presets("kind", kind, "x", Presets{{"fast", {{"rate", "1"}}}});
  CHECK(f.rate == 0.5);
  CHECK_THROWS_AS(f.args.add_presets("kind2", other, "x", Presets{}), Error);
  CHECK(contains(f.refusal({"--kind", "faster"}), "expected one of plain, fast"));
}

TEST_CASE("a list that is empty as nobody sets it may be so again, another one may not") {
  std::vector<int> none, some{3};
  Args args("probe", "a probe");
  args.add("none", none, "may be empty", {1, 9});
  args.add("some", some, "may not", {1, 9});
  const auto parse = [&args](std::vector<const char*> words) {
    words.insert(words.begin(), "probe");
    args.parse(static_cast<int>(words.size()), words.data());
  };
  parse({"--none", "4,5"});
  CHECK(none == std::vector<int>{4, 5});
  parse({"--none", ""});
  CHECK(none.empty());
  CHECK_THROWS_AS(parse({"--some", ""}), UsageError);
}

TEST_CASE("a knob that needs another one is refused without it, on the command line and in a file") {
  const auto with_need = [](Fixture& f) {
    f.args.add_need({"eta", "etas"}, "rate", "without a --rate", [&f] { return f.rate > 0; });
  };
  Fixture f;
  with_need(f);
  CHECK(f.refusal({"--eta", "1"}) == "");
  CHECK(f.refusal({"--rate", "0"}) == "");
  CHECK(f.refusal({"--rate", "0", "--etas", "1"}) == "--etas: has no effect without a --rate");
  f.rate = 0;
  CHECK(f.refusal({"--eta", "1"}) == "--eta: has no effect without a --rate");
  CHECK(contains(f.refusal_of_file(R"({"eta": 1})"), "eta: has no effect without a --rate"));
  CHECK(f.refusal_of_file(R"({"eta": 1, "rate": 0})") == "");  // a configuration that names everything
  CHECK_THROWS_AS(f.args.add_need({"nothing"}, "rate", "", [] { return true; }), UsageError);
}

TEST_CASE("a knob may have a place of its own on the command line, given once all the same") {
  Fixture f;
  f.args.add_positional("text");
  CHECK(f.refusal({"--m", "3", "some file"}) == "");
  CHECK(f.text == "some file");
  CHECK(contains(f.refusal({"a", "b"}), "b"));
  CHECK(contains(f.refusal({"a", "--text", "b"}), "2 times"));
}

TEST_CASE("a hint is said when a value of its knob is refused, and not otherwise") {
  Fixture f;
  f.args.add_hint("m", "; see elsewhere");
  CHECK(contains(f.refusal({"--m", "0"}), "4096; see elsewhere"));
  CHECK_FALSE(contains(f.refusal({"--rate", "7"}), "elsewhere"));
}

TEST_CASE("a configuration can be read from a text, checked as a file is") {
  Fixture f, g;
  f.parse({"--m", "7", "--bits", "1,2"});
  g.args.read(f.args.config(), "here");
  CHECK(g.args.config() == f.args.config());
  for (const char* wrong : {"", "[]", R"({"m": 0})", R"({"unknown": 1})", R"({"m": [1]})"})
    CHECK_THROWS_AS(g.args.read(wrong, "here"), UsageError);
}
